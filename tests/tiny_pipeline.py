"""A pipeline of the classes of Stable Diffusion, a few thousand weights."""

import json

import pytest

# An image of 16 pixels has a latent of 8, a text at most 8 tokens.
_PIXELS, _TOKENS, _FEATURES = 16, 8, 8
_WORDS = ("a", "photo", "of", "0", "1", "2")


def write(tmp_path_factory):
  """A fresh folder with the pipeline; skips where diffusers is not there."""
  diffusers = pytest.importorskip("diffusers")
  torch = pytest.importorskip("torch")
  pytest.importorskip("peft")
  transformers = pytest.importorskip("transformers")
  folder = tmp_path_factory.mktemp("weights")
  tokenizer = _tokenizer(transformers, tmp_path_factory.mktemp("words"))
  with torch.random.fork_rng():
    torch.manual_seed(0)
    text_encoder = transformers.CLIPTextModel(
      transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=_FEATURES,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
      )
    )
    vae = diffusers.AutoencoderKL(
      down_block_types=("DownEncoderBlock2D",) * 2,
      up_block_types=("UpDecoderBlock2D",) * 2,
      block_out_channels=(4, 4),
      norm_num_groups=2,
      latent_channels=4,
      sample_size=_PIXELS,
    )
    unet = diffusers.UNet2DConditionModel(
      sample_size=_PIXELS // 2,
      down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
      up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
      block_out_channels=(8, 8),
      layers_per_block=1,
      attention_head_dim=4,
      norm_num_groups=4,
      cross_attention_dim=_FEATURES,
    )
  diffusers.StableDiffusionPipeline(
    vae=vae,
    text_encoder=text_encoder,
    tokenizer=tokenizer,
    unet=unet,
    scheduler=diffusers.DDIMScheduler(
      beta_start=0.00085,
      beta_end=0.012,
      beta_schedule="scaled_linear",
      clip_sample=False,
      set_alpha_to_one=False,
      steps_offset=1,
    ),
    safety_checker=None,
    feature_extractor=None,
    requires_safety_checker=False,
  ).save_pretrained(folder)
  return folder


def _tokenizer(transformers, folder):
  """A CLIP tokenizer of letters and a few words."""
  letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
  pieces = letters + [f"{letter}</w>" for letter in letters]
  merges = []
  for word in _WORDS:
    for end in range(1, len(word)):
      last = f"{word[end]}</w>" if end == len(word) - 1 else word[end]
      merges.append((word[:end], last))
      pieces.append(word[:end] + last)
  pieces += ["<|startoftext|>", "<|endoftext|>"]
  vocabulary = {p: i for i, p in enumerate(dict.fromkeys(pieces))}
  (folder / "vocab.json").write_text(json.dumps(vocabulary))
  lines = ["#version: 0.2", *map(" ".join, dict.fromkeys(merges))]
  (folder / "merges.txt").write_text("\n".join(lines) + "\n")
  return transformers.CLIPTokenizer.from_pretrained(
    folder, model_max_length=_TOKENS
  )
