"""Definition 3.1: how many neurons are lucky before the first step?"""
