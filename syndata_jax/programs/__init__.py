"""What a person starts; thin programs over the rooms below."""
