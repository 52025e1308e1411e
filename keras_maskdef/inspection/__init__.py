"""What a model is made of, as far as defences are concerned."""
