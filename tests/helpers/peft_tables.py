"""What is known of the settings of PEFT's adapters: what changes the tuned weights, and what is refused in which words."""

from __future__ import annotations

from typing import Any

Settings = dict[str, Any]

# The smallest config of each kind that trains; the others cannot be merged or have a loop of their own.
SMALLEST: dict[str, Settings] = {
    "LORA": {"r": 2, "lora_alpha": 4},
    "LOHA": {"r": 2},
    "LOKR": {"r": 2},
    "OFT": {"oft_block_size": 2},
    "BOFT": {"boft_block_size": 2},
    "IA3": {"feedforward_modules": ["up"]},
    "VERA": {"r": 4},
    "PVERA": {"r": 4},
    "RANDLORA": {"r": 2},
    "FOURIERFT": {"n_frequency": 8},
    "WAVEFT": {"n_frequency": 8},
    "C3A": {"block_size": 4},
    "HRA": {"r": 2},
    "HIRA": {"r": 2},
    "MISS": {"r": 2},
    "ROAD": {"group_size": 4},
    "DELORA": {"r": 2},
    "DEFT": {"r": 2},
    "FROD": {},
    "GLORA": {"r": 2},
    "GRALORA": {"r": 4},
    "VBLORA": {"vector_length": 4, "num_vectors": 8},
    "UNILORA": {"theta_d_length": 8},
    "TINYLORA": {"u": 4},
    "PEANUT": {"r": 2},
    "PSOFT": {"r": 4},
    "SHIRA": {"r": 2},
    "SUPERTUNING": {"sparsity": 0.5},
    "BEFT": {},
    "OSF": {"effective_rank": 4},
    "LN_TUNING": {"target_modules": ["norm"]},
    "TRAINABLE_TOKENS": {"target_modules": ["embedding"], "token_indices": [1, 2]},
}
UNSUPPORTED = {
    *("ADALORA", "XLORA", "SHADOW", "POLY", "LILY", "ADAPTION_PROMPT", "PROMPT_TUNING", "MULTITASK_PROMPT_TUNING"),
    *("P_TUNING", "PREFIX_TUNING", "CPT", "CARTRIDGE"),
}

# Settings of several kinds that change the tuned weights: each is tried once, in a kind that has it.
COMMON: Settings = {
    "target_modules": ["down"],
    "exclude_modules": ["blocks.0.up"],
    "modules_to_save": ["norm"],
    "layers_to_transform": [1],  # with layers_pattern
    "layers_pattern": ["blocks"],
    "bias": "all",
    "alpha_pattern": {"up": 9},
    "rank_pattern": {"blocks.1.up": 1},
}
# Settings that say what a file holds, or how PEFT saves and shows it.
SAYING = {
    *(
        "task_type",
        "peft_type",
        "auto_mapping",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
    ),
    *("save_projection", "save_indices", "save_only_topk_weights", "save_precomputed_indices"),
    *("progressbar", "runtime_offload_base_weight"),
}
# Settings of one kind that change the tuned weights, and what must stand beside them.
CHANGES: dict[str, list[Settings]] = {
    "LORA": [
        {"r": 3},
        {"lora_alpha": 7},
        {"lora_alpha": 4.5},
        {"lora_dropout": 0.5},
        {"use_rslora": True},
        {"use_dora": True},
        {"lora_bias": True},
        *(
            {"init_lora_weights": how}
            for how in (False, "gaussian", "olora", "pissa", "pissa_niter_2", "orthogonal", "mica")
        ),
        {"velora_config": {"num_groups": 4}, "init_lora_weights": False},
        {"use_bdlora": {"target_modules_bd_a": ["up"], "nblocks": 2, "match_strict": False}},
        {"trainable_token_indices": {"embedding": [1]}},
        {"target_parameters": ["up.weight"], "target_modules": ["down"]},
        {"target_parameters": ["up.weight"], "target_modules": None},
    ],
    "LOHA": [{"r": 3}, {"alpha": 3}, {"init_weights": False}, {"rank_dropout": 0.5}, {"module_dropout": 0.5}],
    "LOKR": [
        {"r": 3},
        {"alpha": 3},
        {"init_weights": False},
        {"init_weights": "lycoris"},
        {"rank_dropout": 0.5},
        {"module_dropout": 0.5},
        {"decompose_factor": 2},
        {"decompose_both": True, "r": 1},
        {"rank_dropout": 0.5, "rank_dropout_scale": True},
    ],
    "OFT": [
        {"r": 2, "oft_block_size": 0},
        {"oft_block_size": 4},
        {"init_weights": False},
        {"coft": True, "eps": 1e-4},
        {"block_share": True},
        {"use_cayley_neumann": False},
        {"num_cayley_neumann_terms": 2},
    ],
    "BOFT": [
        {"boft_block_size": 4},
        {"boft_block_size": 0, "boft_block_num": 2},
        {"boft_dropout": 0.5},
        {"init_weights": False},
    ],
    "IA3": [{"init_ia3_weights": False}, {"feedforward_modules": []}],
    "VERA": [{"r": 3}, {"projection_prng_key": 1}, {"vera_dropout": 0.5}, {"d_initial": 0.3}, {"init_weights": False}],
    "PVERA": [
        *({"r": 3}, {"projection_prng_key": 1}, {"pvera_dropout": 0.5}, {"d_initial": 0.3}, {"init_weights": False}),
        {"generator_seed": 3},
    ],
    "RANDLORA": [
        *(
            {"r": 3},
            {"projection_prng_key": 1},
            {"randlora_dropout": 0.5},
            {"randlora_alpha": 9},
            {"init_weights": False},
        ),
        *({"sparse": True}, {"very_sparse": True}),
    ],
    "FOURIERFT": [
        *({"n_frequency": 9}, {"scaling": 9}, {"random_loc_seed": 1}, {"init_weights": True}),
        {"n_frequency_pattern": {"up": 3}},
    ],
    "WAVEFT": [
        *({"n_frequency": 9}, {"scaling": 9}, {"random_loc_seed": 1}, {"init_weights": False}),
        *({"wavelet_family": "db2"}, {"use_idwt": False}, {"n_frequency_pattern": {"up": 3}}),
        {"proportional_parameters": True, "target_modules": ["up", "unembedding"]},
    ],
    "C3A": [{"block_size": 2}, {"init_weights": "gaussian"}, {"block_size_pattern": {"up": 2}}],
    "HRA": [{"r": 4}, {"apply_GS": True}, {"init_weights": False}],
    "HIRA": [{"r": 3}, {"hira_dropout": 0.5}, {"init_weights": "gaussian"}],
    "MISS": [{"r": 4}, {"miss_dropout": 0.5}, {"init_weights": "bat"}, {"init_weights": "mini", "mini_r": 2}],
    "ROAD": [{"variant": "road_2"}, {"group_size": 2}, {"init_weights": False}],
    "DELORA": [
        *(
            {"r": 3},
            {"delora_lambda": 3},
            {"module_dropout": 0.5},
            {"init_weights": False},
            {"lambda_pattern": {"up": 3}},
        ),
    ],
    "DEFT": [
        *({"r": 3}, {"decomposition_method": "qr"}, {"alpha": 3}, {"para": True}, {"deft_dropout": 0.5}),
        {"init_weights": False, "init_scale": 0.5},
    ],
    "FROD": [
        *({"projection_prng_key": 1}, {"frod_dropout": 0.5}, {"init_weights": False}, {"sparse_rate": 0.5}),
        {"regularization_alpha": 0.5},
    ],
    "GLORA": [
        *(
            {"r": 3},
            {"config_A_B": "vector"},
            {"config_C": "vector"},
            {"config_D_E": "vector"},
            {"init_weights": False},
        ),
    ],
    "GRALORA": [
        *({"r": 2}, {"hybrid_r": 2}, {"alpha": 3}, {"gralora_dropout": 0.5}, {"gralora_k": 4}, {"init_weights": False}),
    ],
    "VBLORA": [
        *({"r": 3}, {"num_vectors": 9}, {"vector_length": 2}, {"topk": 3}, {"vblora_dropout": 0.5}),
        *({"init_vector_bank_bound": 0.1}, {"init_logits_std": 0.3}),
    ],
    "UNILORA": [
        *({"r": 3}, {"proj_seed": 1}, {"theta_d_length": 9}, {"unilora_dropout": 0.5}, {"init_theta_d_bound": 0.1}),
        {"init_weights": False},
    ],
    "TINYLORA": [
        *({"r": 1}, {"u": 5}, {"weight_tying": 1.0}, {"projection_seed": 1}, {"tinylora_dropout": 0.5}),
        {"init_weights": "uniform", "init_v_bound": 0.5},
    ],
    "PEANUT": [{"r": 3}, {"depth": 1}, {"act_fn": "gelu"}, {"scaling": 2.0}, {"init_weights": False}],
    "PSOFT": [
        *({"r": 3}, {"psoft_alpha": 3}, {"psoft_dropout": 0.5}, {"ab_svd_init": "pissa_init"}, {"psoft_orth": False}),
        *(
            {"psoft_mag_a": False},
            {"psoft_mag_b": False},
            {"init_weights": False},
            {"psoft_svd": "lowrank", "random_seed": 3},
        ),
        {"psoft_svd": "lowrank", "psoft_svd_lowrank_niter": 1},
        {"use_cayley_neumann": True, "num_cayley_neumann_terms": 2, "cayley_neumann_eps": 1e-3},
    ],
    "SHIRA": [{"r": 3}, {"random_seed": 3}, {"init_weights": False}],
    "SUPERTUNING": [
        *({"sparsity": 0.25}, {"select_top": False}, {"init_weights": False}),
        {"r": 2, "lora_alpha": 9, "lora_dropout": 0.5},
    ],
    "BEFT": [{"init_weights": False}],
    "OSF": [{"effective_rank": 2}, {"rank_pattern": {"up": 2}}, {"init_weights": False}],
    "TRAINABLE_TOKENS": [{"token_indices": [1]}, {"init_weights": False}],
}

DATA = "it needs data"
REFUSED: dict[str, list[tuple[Settings, str]]] = {
    "LORA": [
        *(
            ({"init_lora_weights": how}, f"init_lora_weights '{how}' is not supported: {DATA}")
            for how in ("eva", "corda", "lora_ga")
        ),
        ({"init_lora_weights": "eva", "eva_config": {"rho": 1.5}}, f"init_lora_weights 'eva' is not supported: {DATA}"),
        ({"eva_config": {"rho": 1.5}}, DATA),
        ({"corda_config": {"corda_method": "kpm"}}, DATA),
        ({"lora_ga_config": {"scale": "unit"}}, DATA),
        ({"loftq_config": {"loftq_bits": 4, "loftq_iter": 1}}, "takes effect only where init_lora_weights is 'loftq'"),
        (
            {"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4}},
            "loftq_config needs loftq_bits and loftq_iter",
        ),
        ({"megatron_config": {"a": 1}}, "no layers of Megatron"),
        ({"megatron_core": "a"}, "no layers of Megatron"),
        ({"alora_invocation_tokens": [1]}, "cannot be merged"),
        ({"use_qalora": True}, "GPTQ"),
        ({"qalora_group_size": 8}, "GPTQ"),
        ({"monteclora_config": {"num_samples": 2}}, "a term in the loss"),
        ({"kasa_config": {"beta": 0.1}}, "a term in the loss"),
        ({"layer_replication": [[0, 1], [0, 2]]}, "adds layers"),
        ({"runtime_config": {"ephemeral_gpu_offload": True}}, "outside a GPU"),
        ({"arrow_config": {"top_k": 1}}, "already trained"),
        ({"ensure_weight_tying": True}, "ties no weights"),
        ({"fan_in_fan_out": True}, "[in, out]"),
    ],
    "LOHA": [({"use_effective_conv2d": True}, "no convolutions")],
    "LOKR": [
        ({"use_effective_conv2d": True}, "no convolutions"),
        ({"rank_dropout_scale": True}, "takes effect only where rank_dropout is set"),
        ({"decompose_both": True, "r": 8}, "decompose_both takes no effect at r 8"),
    ],
    "OFT": [
        ({"module_dropout": 0.5}, "PEFT applies it nowhere"),
        ({"eps": 1e-4}, "takes effect only where coft is set"),
        ({"use_cayley_neumann": False, "num_cayley_neumann_terms": 2}, "only where use_cayley_neumann is set"),
    ],
    "BOFT": [({"boft_n_butterfly_factor": 2}, "CUDA extension")],
    "PVERA": [({"sample_at_inference": True}, "draws nothing")],
    "HIRA": [({"rank_pattern": {"up": 1}}, "every map the rank r")],
    "MISS": [({"mini_r": 2}, "takes effect only where init_weights is 'mini'")],
    "DEFT": [
        ({"init_scale": 0.5}, "only where init_weights is False"),
        ({"init_scale": 0.5, "init_weights": False, "para": True}, "only where para is False"),
        ({"alpha": 3, "para": True}, "only where para is False"),
    ],
    "TINYLORA": [
        ({"init_v_bound": 0.5}, "only where init_weights is 'uniform'"),
        ({"init_weights": False}, "leaves weights undefined"),
    ],
    "PSOFT": [
        ({"psoft_svd_lowrank_niter": 3}, "only where psoft_svd is 'lowrank'"),
        ({"random_seed": 3}, "only where psoft_svd is 'lowrank'"),
        ({"num_cayley_neumann_terms": 3}, "only where use_cayley_neumann is set"),
        ({"cayley_neumann_eps": 0.1}, "only where use_cayley_neumann is set"),
    ],
    "SUPERTUNING": [({"lora_dropout": 0.5}, "only where r is set")],
    "WAVEFT": [
        (
            {"n_frequency_pattern": {"up": 3}, "proportional_parameters": True},
            "only where proportional_parameters is False",
        )
    ],
    "LN_TUNING": [({"modules_to_save": ["up"]}, "does not merge")],
    "OSF": [({"target_svd_config": {"up": 2}}, "reads it nowhere")],
}
ONE_VALUE = {"mask_type"}  # settings with no other value than their default
