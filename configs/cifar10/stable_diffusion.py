"""CIFAR-10, Stable Diffusion: LoRA for each model, then images under prompts.

    syndata-audit --config=cifar10/stable_diffusion --workdir=runs/sd \
      --data_dir=DIR_WITH_cifar-10-python.tar.gz \
      --config.weights=DIR_WITH_THE_PIPELINE

The folder holds a Stable Diffusion v1.5 (or 2.1) as diffusers saves it, in
safetensors; nothing is downloaded. `:image` begins at the private
images, at a strength of 0.75. The paper (Zhao and Zhang, ICLR 2025) publishes
neither checkpoint nor settings. Rate, batch, epochs, flips, min-SNR weighting
and strength are those of the nearest public recipe, Yuan et al., "Real-Fake"
(arXiv 2310.10402), without its distribution matching and its captions; rank,
guidance, scheduler and steps are common choices. Expected numbers and cost of
this configuration: not run.
"""

from syndata_jax.data.folder import CINIC10_CLASSES
from syndata_jax.programs.settings import defaults


def get_config(sampling="noise"):
  """One image for each member; final training as in the undefended row."""
  config = defaults("stable_diffusion")
  config.dataset = "cifar10"
  config.class_names = CINIC10_CLASSES  # CIFAR-10's, in its order
  config.prompt = "a photo of a {}"
  config.sampling = sampling
  config.strength = 0.75
  config.diffusion_epochs = 100
  config.diffusion_batch = 8
  config.diffusion_learning_rate = 1e-4
  config.min_snr_gamma = 5.0
  config.rank = 4
  config.alpha = 4.0
  config.images_per_class = 0
  config.scheduler = "dpm_solver"
  config.sampling_steps = 25
  config.guidance = 7.5
  config.sampling_batch = 32
  config.num_models = 32
  config.num_canaries = 500
  config.canary_kind = "mislabelled"
  config.model = "resnet18"
  config.model_options = {"width": 64}
  config.num_epochs = 200
  config.batch_size = 256
  config.learning_rate = 0.1
  config.schedule = "step"
  config.warmup_epochs = 1.0
  config.momentum = 0.9
  config.weight_decay = 5e-4
  config.augment = True
  config.performance.precision = "bfloat16"
  return config
