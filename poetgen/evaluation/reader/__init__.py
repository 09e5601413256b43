"""The reader's test: can a trained judge tell generated poems from real ones?"""
