CREATE TABLE layer_stat (
    id TEXT NOT NULL,
    layer_name TEXT,
    layer_type TEXT,
    stat_id TEXT,
    PRIMARY KEY (id)
);

CREATE TABLE metric (
    name TEXT NOT NULL,
    code TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (name)
);
CREATE INDEX ix_metric_id ON metric (id);

CREATE TABLE nn (
    name TEXT NOT NULL,
    code TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (name)
);
CREATE INDEX ix_nn_id ON nn (id);

CREATE TABLE nn_minhash (
    nn TEXT NOT NULL,
    num_perm INTEGER NOT NULL,
    shingle_n INTEGER NOT NULL,
    hashvalues BLOB NOT NULL,
    created_at TEXT DEFAULT (datetime('now')) NOT NULL,
    PRIMARY KEY (nn)
);

CREATE TABLE nn_similarity (
    nn_a TEXT NOT NULL,
    nn_b TEXT NOT NULL,
    jaccard FLOAT NOT NULL,
    method TEXT DEFAULT 'minhash' NOT NULL,
    created_at TEXT DEFAULT (datetime('now')) NOT NULL,
    PRIMARY KEY (nn_a, nn_b)
);

CREATE TABLE prm (
    uid TEXT NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (uid, name)
);

CREATE TABLE transform (
    name TEXT NOT NULL,
    code TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (name)
);
CREATE INDEX ix_transform_id ON transform (id);

CREATE TABLE nn_stat (
    id TEXT NOT NULL,
    nn_name TEXT NOT NULL,
    prm_id TEXT NOT NULL,
    total_layers INTEGER,
    leaf_layers INTEGER,
    max_depth INTEGER,
    nn_depth INTEGER,
    total_params INTEGER,
    trainable_params INTEGER,
    frozen_params INTEGER,
    flops INTEGER,
    model_size_mb FLOAT,
    buffer_size_mb FLOAT,
    total_memory_mb FLOAT,
    dropout_count INTEGER,
    has_attention INTEGER,
    has_residual_connections INTEGER,
    is_resnet_like INTEGER,
    is_vgg_like INTEGER,
    is_inception_like INTEGER,
    is_densenet_like INTEGER,
    is_unet_like INTEGER,
    is_transformer_like INTEGER,
    is_mobilenet_like INTEGER,
    is_efficientnet_like INTEGER,
    code_length INTEGER,
    num_classes_defined INTEGER,
    num_functions_defined INTEGER,
    uses_sequential INTEGER,
    uses_modulelist INTEGER,
    uses_moduledict INTEGER,
    meta_json TEXT,
    error TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY(nn_name) REFERENCES nn (name) ON DELETE CASCADE
);
CREATE INDEX ix_nn_stat_nn_name ON nn_stat (nn_name);
CREATE INDEX ix_nn_stat_prm_id ON nn_stat (prm_id);

CREATE TABLE prun (
    id TEXT NOT NULL,
    model_name TEXT NOT NULL,
    pruning_method TEXT NOT NULL,
    task_dataset TEXT NOT NULL,
    status TEXT,
    accuracy FLOAT,
    pruning_ratio FLOAT,
    model_size_before_kb FLOAT,
    model_size_after_kb FLOAT,
    duration INTEGER,
    params_before INTEGER,
    params_after INTEGER,
    params_removed INTEGER,
    PRIMARY KEY (id),
    FOREIGN KEY(model_name) REFERENCES nn (name) ON DELETE CASCADE
);
CREATE INDEX ix_prun_model_name ON prun (model_name);

CREATE TABLE run (
    id TEXT NOT NULL,
    model_name TEXT NOT NULL,
    device_type TEXT,
    os_version TEXT,
    error_message TEXT,
    unit TEXT,
    cpu_error TEXT,
    gpu_error TEXT,
    npu_error TEXT,
    device_analytics_json TEXT,
    precision_type TEXT,
    type TEXT,
    valid BOOLEAN,
    emulator BOOLEAN,
    duration INTEGER,
    iterations INTEGER,
    cpu_duration INTEGER,
    cpu_min_duration INTEGER,
    cpu_max_duration INTEGER,
    gpu_duration INTEGER,
    gpu_min_duration INTEGER,
    gpu_max_duration INTEGER,
    npu_duration INTEGER,
    npu_min_duration INTEGER,
    npu_max_duration INTEGER,
    cpu_std_dev FLOAT,
    gpu_std_dev FLOAT,
    npu_std_dev FLOAT,
    total_ram_kb INTEGER,
    free_ram_kb INTEGER,
    available_ram_kb INTEGER,
    cached_kb INTEGER,
    in_dim_0 INTEGER,
    in_dim_1 INTEGER,
    in_dim_2 INTEGER,
    in_dim_3 INTEGER,
    PRIMARY KEY (id),
    FOREIGN KEY(model_name) REFERENCES nn (name) ON DELETE CASCADE
);
CREATE INDEX ix_run_model_name ON run (model_name);

CREATE TABLE stat (
    id TEXT NOT NULL,
    accuracy FLOAT,
    epoch INTEGER,
    duration INTEGER,
    task TEXT,
    dataset TEXT,
    nn TEXT NOT NULL,
    transform TEXT,
    metric TEXT,
    prm TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY(nn) REFERENCES nn (name) ON DELETE CASCADE
);
CREATE INDEX ix_stat_accuracy ON stat (accuracy);
CREATE INDEX ix_stat_dataset ON stat (dataset);
CREATE INDEX ix_stat_metric ON stat (metric);
CREATE INDEX ix_stat_nn ON stat (nn);
CREATE INDEX ix_stat_prm ON stat (prm);
CREATE INDEX ix_stat_task ON stat (task);
CREATE INDEX ix_stat_transform ON stat (transform);

CREATE TABLE train_stat (
    stat_id TEXT NOT NULL,
    train_loss FLOAT,
    test_loss FLOAT,
    train_accuracy FLOAT,
    gradient_norm FLOAT,
    samples_per_second FLOAT,
    epoch_max INTEGER,
    cpu_count INTEGER,
    cpu_type TEXT,
    gpu_type TEXT,
    cpu_usage_percent FLOAT,
    total_ram_kb FLOAT,
    occupied_ram_kb FLOAT,
    ram_usage_percent FLOAT,
    gpu_memory_kb FLOAT,
    gpu_total_memory_kb FLOAT,
    occupied_gpu_memory_kb FLOAT,
    gpu_memory_usage_percent FLOAT,
    PRIMARY KEY (stat_id),
    FOREIGN KEY(stat_id) REFERENCES stat (id) ON DELETE CASCADE
);
