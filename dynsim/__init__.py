"""dynsim: training dynamics of contrastive learning on imbalanced sparse-coding data.

What most programs need, and where it lives:

    dynsim.config     Config and its sections, replace
    dynsim.simulate   simulate, simulate_many
    dynsim.results    load, save, concat, config_of, provenance_of
    dynsim.measure    cosine_alignment, purity, is_specialist, is_candidate, is_lucky
    dynsim.stages     find_stages
    dynsim.summary    all_stage_ends, summarise, table_text
    dynsim.theory     growth_rate, stage1_end, activation_probability, ...
    dynsim.plots      one function per figure
    dynsim.data, dynsim.encoder, dynsim.loss     DataModel, Encoder and losses, to replace them by your own

Importing the package loads nothing; a command line can refuse a bad option without JAX.
"""
