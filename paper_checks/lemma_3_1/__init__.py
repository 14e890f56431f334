"""Lemma 3.1, stage 1: do all neurons grow along all features, at the rate of each feature's frequency?"""
