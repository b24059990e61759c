"""The tables and figures of Czaja & Na, recomputed: what they hold, the runs behind them, how they are written."""
