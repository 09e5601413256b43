"""How good is a model, beside held-out real poems?"""
