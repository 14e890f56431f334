"""Lemma 3.2, stage 2: which neurons specialise, how many, and when?"""
