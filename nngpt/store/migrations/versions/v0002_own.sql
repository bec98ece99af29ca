CREATE TABLE nngpt_code (
    digest TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    code TEXT NOT NULL,
    PRIMARY KEY (digest)
);
CREATE INDEX ix_nngpt_code_content_hash ON nngpt_code (content_hash);

CREATE TABLE nngpt_prompt (
    hash TEXT NOT NULL,
    template TEXT NOT NULL,
    template_hash TEXT NOT NULL,
    mode TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (hash)
);

CREATE TABLE nngpt_run (
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    config TEXT NOT NULL,
    identity TEXT NOT NULL,
    seed INTEGER NOT NULL,
    status TEXT NOT NULL,
    fence INTEGER NOT NULL,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT ck_nngpt_run_status CHECK (status IN ('active', 'done', 'archived'))
);
CREATE UNIQUE INDEX ix_nngpt_run_current ON nngpt_run (name) WHERE status <> 'archived';

CREATE TABLE nngpt_adapter (
    run_id INTEGER NOT NULL,
    cycle INTEGER NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    base TEXT NOT NULL,
    base_digest TEXT NOT NULL,
    parent TEXT,
    corpus_hash TEXT NOT NULL,
    pairs INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    loss_first DOUBLE NOT NULL,
    loss_last DOUBLE NOT NULL,
    seconds DOUBLE NOT NULL,
    settings TEXT NOT NULL,
    PRIMARY KEY (run_id, cycle),
    FOREIGN KEY(run_id) REFERENCES nngpt_run (id),
    CONSTRAINT uq_nngpt_adapter_name UNIQUE (name)
);

CREATE TABLE nngpt_attempt (
    id INTEGER NOT NULL,
    run_id INTEGER NOT NULL,
    cycle INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    place INTEGER NOT NULL,
    state TEXT NOT NULL,
    prompt_hash TEXT NOT NULL,
    mode TEXT NOT NULL,
    text TEXT NOT NULL,
    model TEXT NOT NULL,
    adapter TEXT,
    seed INTEGER NOT NULL,
    batch_index INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    generation_s DOUBLE NOT NULL,
    finished BOOLEAN NOT NULL,
    content_hash TEXT,
    code_digest TEXT,
    written TEXT,
    hyperparameters TEXT,
    transform TEXT,
    batch_size INTEGER,
    accuracy DOUBLE,
    claimed_parameters INTEGER,
    evaluation_s DOUBLE,
    peak_memory_mb DOUBLE,
    device TEXT,
    evaluation_seed INTEGER,
    sandbox TEXT,
    jaccard DOUBLE,
    nearest TEXT,
    duplicate BOOLEAN,
    refusal_stage TEXT,
    refusal_reason TEXT,
    refusal_detail TEXT,
    restarts INTEGER NOT NULL,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT ck_nngpt_attempt_state CHECK (state IN (
        'generated', 'parsed', 'validated', 'training',
        'trained', 'judged', 'admitted', 'refused'
    )),
    FOREIGN KEY(code_digest) REFERENCES nngpt_code (digest),
    FOREIGN KEY(prompt_hash) REFERENCES nngpt_prompt (hash),
    FOREIGN KEY(run_id) REFERENCES nngpt_run (id),
    CONSTRAINT uq_nngpt_attempt_run_id_cycle_place UNIQUE (run_id, cycle, place)
);
CREATE INDEX ix_nngpt_attempt_run_id_content_hash ON nngpt_attempt (run_id, content_hash);
CREATE INDEX ix_nngpt_attempt_run_id_cycle_state ON nngpt_attempt (run_id, cycle, state);

CREATE TABLE nngpt_admission (
    run_id INTEGER NOT NULL,
    content_hash TEXT NOT NULL,
    attempt_id INTEGER NOT NULL,
    PRIMARY KEY (run_id, content_hash),
    FOREIGN KEY(attempt_id) REFERENCES nngpt_attempt (id),
    FOREIGN KEY(run_id) REFERENCES nngpt_run (id),
    CONSTRAINT uq_nngpt_admission_attempt_id UNIQUE (attempt_id)
);

CREATE TABLE nngpt_cycle (
    run_id INTEGER NOT NULL,
    cycle INTEGER NOT NULL,
    adapter TEXT,
    reason TEXT NOT NULL,
    closed TEXT NOT NULL,
    PRIMARY KEY (run_id, cycle),
    FOREIGN KEY(adapter) REFERENCES nngpt_adapter (name),
    FOREIGN KEY(run_id) REFERENCES nngpt_run (id)
);

CREATE TABLE nngpt_epoch (
    attempt_id INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    accuracy DOUBLE NOT NULL,
    correct INTEGER NOT NULL,
    total INTEGER NOT NULL,
    seconds DOUBLE NOT NULL,
    stat_id TEXT NOT NULL,
    PRIMARY KEY (attempt_id, epoch),
    FOREIGN KEY(attempt_id) REFERENCES nngpt_attempt (id),
    FOREIGN KEY(stat_id) REFERENCES stat (id)
);

CREATE TABLE nngpt_transition (
    id INTEGER NOT NULL,
    attempt_id INTEGER NOT NULL,
    "before" TEXT,
    "after" TEXT NOT NULL,
    at TEXT NOT NULL,
    fence INTEGER NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(attempt_id) REFERENCES nngpt_attempt (id)
);
CREATE INDEX ix_nngpt_transition_attempt_id ON nngpt_transition (attempt_id);
