CREATE TABLE nngpt_lemur_import (
    id INTEGER NOT NULL,
    source TEXT NOT NULL,
    sha256 TEXT,
    started TEXT NOT NULL,
    finished TEXT,
    report TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE nngpt_lemur_extra (
    stat_id TEXT NOT NULL,
    trial TEXT NOT NULL,
    lacks TEXT,
    PRIMARY KEY (stat_id),
    FOREIGN KEY(stat_id) REFERENCES stat (id) ON DELETE CASCADE
);

CREATE TABLE nngpt_lemur_run (
    run_id TEXT NOT NULL,
    path TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (run_id),
    FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
);

CREATE TABLE nngpt_lemur_empty (
    task TEXT NOT NULL,
    dataset TEXT NOT NULL,
    metric TEXT NOT NULL,
    nn TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (task, dataset, metric, nn, epoch)
);

CREATE TABLE nngpt_signature (
    nn TEXT NOT NULL,
    scheme TEXT NOT NULL,
    seed INTEGER NOT NULL,
    permutations INTEGER NOT NULL,
    stream TEXT NOT NULL,
    shingle INTEGER NOT NULL,
    hashvalues BLOB NOT NULL,
    PRIMARY KEY (nn),
    FOREIGN KEY(nn) REFERENCES nn (name) ON DELETE CASCADE
);
CREATE INDEX ix_stat_trials ON stat (task, dataset, metric, nn, epoch, accuracy);
CREATE INDEX ix_stat_dataset_epoch_accuracy ON stat (dataset, epoch, accuracy);
