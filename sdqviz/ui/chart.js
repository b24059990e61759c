// A plot that stays where it is. Streamlit's own chart mounts a figure anew as soon as a number in it changes; here the
// element is kept, and Plotly changes in it what has changed. Several that wait are drawn one after the other, those in
// view first, with room for the browser's own work between them.

const NARROWEST = 150;  // pixels
const STYLE = `
.sdqviz-chart {position: relative; overflow: hidden; contain: layout style paint}
.sdqviz-chart.whole-window {position: fixed; inset: 0; z-index: 1000000; background: var(--st-background-color)}
[data-testid="stElementContainer"] {transition: none !important; opacity: 1 !important}
.sdqviz-late [data-testid="stElementContainer"][data-stale="true"] {opacity: .35 !important}
@media print {.sdqviz-chart, .sdqviz-chart .main-svg {max-width: 100%}}
`;
const EXPAND = 'M3 3h7v2H5v5H3zM14 3h7v7h-2V5h-5zM3 14h2v5h5v2H3zM19 14h2v7h-7v-2h5z';
const COLLAPSE = 'M8 3h2v7H3V8h5zM14 3h2v5h5v2h-7zM3 14h7v7H8v-5H3zM14 14h7v2h-5v5h-2z';

let library;

// Plotly, fetched once; its file has the name of this one's state.
export function plotly() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = new URL(`plotly.js${new URL(import.meta.url).search}`, import.meta.url);
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      library = undefined;  // the next figure asks again
      script.remove();
      reject(new Error('What draws the plots could not be loaded; is the server still there?'));
    };
    document.head.append(script);
  });
  return library;
}

const LATE = 500;  // milliseconds

// Dim what a run of the page has not reached yet when it takes long. Streamlit has each element fade by itself, from the
// first moment of every run on: sixty layers for the browser to make and take away again, however short the run.
function dimmed() {
  const app = document.querySelector('[data-testid="stApp"]');
  if (!app) return;
  let timer;
  const told = () => {
    clearTimeout(timer);
    if (app.dataset.testScriptState === 'running') timer = setTimeout(() => document.body.classList.add('sdqviz-late'), LATE);
    else document.body.classList.remove('sdqviz-late');
  };
  new MutationObserver(told).observe(app, { attributeFilter: ['data-test-script-state'] });
  told();
}

function styled() {
  if (document.getElementById('sdqviz-chart')) return;
  dimmed();
  const style = document.createElement('style');
  style.id = 'sdqviz-chart';
  style.textContent = STYLE;
  document.head.append(style);
}

const waiting = new Set();
let working = null;

function drawn(chart) {
  waiting.add(chart);
  working ??= work().finally(() => { working = null; });
  return working;
}

async function work() {
  await plotly();
  while (waiting.size) {
    const [next] = [...waiting].sort((one, other) => other.seen - one.seen || one.top - other.top);
    waiting.delete(next);
    await next.draw().catch((error) => console.error(error));  // one that cannot be drawn leaves the others
    if (waiting.size) await new Promise((resolve) => { setTimeout(resolve); });
  }
}

class Chart {
  constructor(parent) {
    this.box = document.createElement('div');
    this.box.className = 'sdqviz-chart';
    this.box.setAttribute('role', 'figure');
    this.plot = document.createElement('div');
    this.box.append(this.plot);
    parent.append(this.box);
    this.revision = 0;
    this.watch = new ResizeObserver(() => this.fit());
    this.watch.observe(this.box);
    this.leave = (event) => { if (event.key === 'Escape') this.expand(false); };
  }

  get large() { return this.box.classList.contains('whole-window'); }

  get top() { return this.box.getBoundingClientRect().top; }

  get seen() {
    const { top, bottom } = this.box.getBoundingClientRect();
    return top < window.innerHeight && bottom > 0;
  }

  // Take what the server says; what it says again is drawn already.
  take(text, tell) {
    this.tell = tell;
    if (text === this.wanted) return null;
    this.wanted = text;
    this.told = JSON.parse(text);
    this.box.setAttribute('aria-label', this.told.alt);
    if (!this.large) this.box.style.height = `${this.told.figure.layout.height}px`;
    return drawn(this);
  }

  async draw() {
    if (this.gone || !this.box.clientWidth || this.done === this.wanted) return;  // one that is hidden waits for `fit`
    this.done = this.wanted;
    const { figure, config, selects } = this.told;
    const layout = { ...figure.layout, ...this.size(), datarevision: ++this.revision };
    if (selects) {
      layout.hovermode ??= 'closest';
      layout.dragmode ??= selects === 'box' ? 'select' : 'pan';
      layout.clickmode = selects === 'box' ? 'event' : 'event+select';
    }
    const change = { data: figure.data, layout, frames: figure.frames ?? [] };
    const setting = JSON.stringify([config, this.large]);
    if (setting !== this.setting) change.config = this.config(config);  // given again, it would mount all anew
    this.setting = setting;
    if (this.moves) await Plotly.animate(this.plot, [null], { mode: 'immediate' });  // stop what still plays
    this.moves = change.frames.length > 0;
    await this.quietly(() => Plotly.react(this.plot, change));
    if (!this.heard) this.listen();
  }

  // Plotly tells what is selected whenever it draws; only what the visitor does is passed on.
  async quietly(change) {
    this.quiet = true;
    try {
      await change();
    } finally {
      this.quiet = false;
    }
  }

  size() {
    const height = this.large ? this.box.clientHeight : this.told.figure.layout.height;
    return { width: Math.max(this.box.clientWidth, NARROWEST), height };
  }

  config(given) {
    const name = this.large ? 'Close fullscreen' : 'Fullscreen';
    const icon = { width: 24, height: 24, path: this.large ? COLLAPSE : EXPAND };
    return { ...given, modeBarButtonsToAdd: [{ name, title: name, icon, click: () => this.expand(!this.large) }] };
  }

  // Fill the window, or go back; Escape goes back too.
  expand(large) {
    if (large === this.large) return;
    this.box.classList.toggle('whole-window', large);
    this.box.style.height = large ? '' : `${this.told.figure.layout.height}px`;
    document[large ? 'addEventListener' : 'removeEventListener']('keydown', this.leave);
    this.done = null;
    drawn(this);
  }

  // The column has become wider or narrower, or is shown at last.
  fit() {
    if (!this.told || !this.box.clientWidth) return;
    if (this.done !== this.wanted) {
      drawn(this);
      return;
    }
    const { width, height } = this.size();
    const now = this.plot.layout;
    if (now?.width === width && now?.height === height) return;
    this.quietly(() => Plotly.relayout(this.plot, { width, height }));
  }

  listen() {
    this.heard = true;
    this.plot.on('plotly_selected', (event) => this.select(event ?? {}));
    this.plot.on('plotly_deselect', () => this.select({}));
  }

  select({ points = [], selections = [] }) {
    if (this.quiet) return;
    const { selects } = this.told;
    const box = selections.filter((one) => one.type === 'rect').map(({ x0, x1, y0, y1 }) => ({ x: [x0, x1], y: [y0, y1] }));
    const found = points.map(({ x, y, customdata = null }) => ({ x, y, customdata }));
    if (selects === 'box' || (selects === 'points' && found.length && !box.length)) this.tell({ points: found, box });
  }

  end() {
    this.gone = true;
    waiting.delete(this);
    this.watch.disconnect();
    document.removeEventListener('keydown', this.leave);
    window.Plotly?.purge(this.plot);
    this.box.remove();
  }
}

export default async function show({ data, parentElement, setTriggerValue }) {
  styled();
  const chart = (parentElement.chart ??= new Chart(parentElement));
  const end = () => {
    chart.end();
    delete parentElement.chart;
  };
  await chart.take(new TextDecoder().decode(data), (selection) => setTriggerValue('selected', selection));
  return end;
}
