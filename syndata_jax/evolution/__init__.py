"""Private Evolution: synthetic data that private records vote for.

Nothing is trained. Public generators draw candidates, each private record
votes for the candidates nearest to it, the histogram of votes is released with
noise, and what was voted for is varied and kept. It knows no shadow models and
no program.
"""
