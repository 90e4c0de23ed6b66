"""A class-conditional diffusion model: EDM on a U-Net of this package.

It knows no paradigm: whoever needs one trains it with the engine, or reads a
trained one from a folder. Images are f32 in [-1, 1] here.
"""
