"""Theorem 3.1, stage 3: how large, how mixed and how many are neurons at convergence?"""
