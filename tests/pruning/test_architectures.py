"""Networks that people bring, from timm and transformers: heads and widths can go, and cutting equals zeroing."""

import warnings

import numpy as np
import pytest
import torch

from sdqviz.pruning import tracing
from sdqviz.pruning.dependency import groups

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
TOKENS = {"vocab_size": 50, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
VISION = {"image_size": 16, "patch_size": 4}

TRANSFORMERS = {
    "Bert": ("BertForSequenceClassification", TOKENS, "words", 2),
    "Roberta": ("RobertaForSequenceClassification", TOKENS, "words", 2),
    "Electra": ("ElectraForSequenceClassification", TOKENS | {"embedding_size": 32}, "words", 2),
    "DistilBert": (
        "DistilBertForSequenceClassification",
        TOKENS | {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}, "words", 2,
    ),
    "Albert": ("AlbertForSequenceClassification", TOKENS | {"embedding_size": 16}, "words", 1),
    "GPT2": ("GPT2LMHeadModel", TOKENS | {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 16}, "tokens", 2),
    "Llama": ("LlamaForCausalLM", TOKENS | {"num_key_value_heads": 2}, "tokens", 2),
    "Mistral": ("MistralForCausalLM", TOKENS | {"num_key_value_heads": 2}, "tokens", 2),
    "Qwen2": ("Qwen2ForCausalLM", TOKENS | {"num_key_value_heads": 2}, "tokens", 2),
    "Gemma": ("GemmaForCausalLM", TOKENS | {"num_key_value_heads": 2, "head_dim": 8}, "tokens", 2),
    "Phi": ("PhiForCausalLM", TOKENS, "tokens", 2),
    "GPTNeoX": ("GPTNeoXForCausalLM", TOKENS, "tokens", 2),
    "OPT": ("OPTForCausalLM", TOKENS | {"ffn_dim": 48, "word_embed_proj_dim": 32}, "tokens", 2),
    "ViT": ("ViTForImageClassification", VISION, "image", 2),
    "DeiT": ("DeiTForImageClassification", VISION, "image", 2),
    "Dinov2": ("Dinov2ForImageClassification", VISION, "image", 2),
    "Swin": (
        "SwinForImageClassification",
        VISION | {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4, "image_size": 32},
        "image", 2,
    ),
    "ConvNext": (
        "ConvNextForImageClassification", {"hidden_sizes": [16, 24], "depths": [1, 1], "num_stages": 2}, "image", 0,
    ),
    "ResNet": ("ResNetForImageClassification", {"hidden_sizes": [16, 24], "depths": [1, 1]}, "image", 0),
}  # fmt: skip
"""By its configuration class: the class of the network, its size, what it takes, and in how many layers it attends."""

WIDE_VIT = {"img_size": 32, "depth": 2, "embed_dim": 48, "num_heads": 3}
WINDOWS = {"img_size": 32, "depths": (1, 1), "embed_dim": 16, "num_heads": (2, 4), "window_size": 4}

TIMM = {
    "deit_tiny_patch16_224": (WIDE_VIT, 2),
    "vit_tiny_patch16_224": (WIDE_VIT | {"qk_norm": True, "init_values": 1e-5}, 2),
    "beit_base_patch16_224": (WIDE_VIT, 0),  # as are these: their heads are as wide together as what comes in
    "cait_xxs24_224": (WIDE_VIT, 0),
    "swin_tiny_patch4_window7_224": (WINDOWS, 2),
    "swinv2_tiny_window8_256": (WINDOWS, 0),
    "mixer_s32_224": ({"img_size": 64}, 0),
    "convnext_atto": ({"depths": (1, 1, 1, 1), "dims": (8, 12, 16, 20)}, 0),
    "resnet10t": ({}, 0),
    "mobilenetv3_small_050": ({}, 0),
    "efficientnet_lite0": ({}, 0),
    "ghostnet_050": ({}, 0),
    "repvgg_a0": ({}, 0),
    "poolformer_s12": ({}, 0),
}
"""By name: its options, and in how many layers whole heads can go."""

QUICK = {"Bert", "Llama", "deit_tiny_patch16_224"}
"""Tried every day; the others are slow."""

NAMES = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow, id=name) for name in (*TRANSFORMERS, *TIMM)
]


def from_transformers(name):
    """Return a small network with random weights, two inputs, and in how many layers it attends."""
    library = pytest.importorskip("transformers")
    kind, size, takes, layers = TRANSFORMERS[name]
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(3, 50, (2, 7), generator=draw)
    side = size.get("image_size", 32)
    given = {
        "tokens": tokens,
        "words": {"input_ids": tokens, "attention_mask": torch.ones(2, 7, dtype=torch.long)},
        "image": torch.randn((2, 3, side, side), generator=draw),
    }
    shape = SMALL if takes != "image" or ("patch_size" in size and "depths" not in size) else {}
    return getattr(library, kind)(getattr(library, f"{name}Config")(**shape | size)), given[takes], layers


def from_timm(name):
    """Return a small network with random weights, two inputs, and in how many layers whole heads can go."""
    library = pytest.importorskip("timm")
    options, layers = TIMM[name]
    side = options.get("img_size", 64)
    draw = torch.Generator().manual_seed(0)
    return library.create_model(name, **options), torch.randn((2, 3, side, side), generator=draw), layers


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")  # of the libraries
def test_heads_and_widths_can_go_and_cutting_equals_zeroing(name, draw_parameters):
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        module, example, layers = from_transformers(name) if name in TRANSFORMERS else from_timm(name)
    module = draw_parameters(module)
    found = groups(module, example)
    hidden = [group for group in found.groups if group.prunable and not _attends(group)]
    heads = [group for group in found.groups if group.prunable and _attends(group) and group.units <= 4]
    assert len(heads) >= layers and hidden, str(found)
    rng = np.random.default_rng(1)
    removed = {
        place: rng.permutation(found.groups[place].units)[: max(1, found.groups[place].units // 2)].tolist()
        for place in found.prunable
    }
    smaller, zeroed = found.cut(module, removed), found.masked(module, removed)
    with torch.no_grad():
        before, wanted, got = (tracing.tensors(tracing.call(one, example)) for one in (module, zeroed, smaller))
    for one, two, three in zip(before, wanted, got, strict=True):
        assert (two - three).abs().max() <= 1e-5 * max(1.0, float(two.abs().max()))
        assert (one - two).abs().max() > 1e-4
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in module.parameters())


def _attends(group):
    """Whether a group makes queries, keys or values."""
    makes = [one.parameter.rsplit(".", 2)[-2] for one in group.produced if one.parameter.endswith(".weight")]
    names = {"q", "query", "q_proj", "q_lin", "qkv", "c_attn", "query_key_value"}
    return bool(names & set(makes))
