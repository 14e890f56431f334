"""The paper's assumptions on data and sizes: do they hold at the sizes that are simulated?"""
