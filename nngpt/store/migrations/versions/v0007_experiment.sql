ALTER TABLE nngpt_attempt ADD COLUMN arm TEXT NOT NULL DEFAULT 'loop'
    CONSTRAINT ck_nngpt_attempt_arm CHECK (arm IN ('loop', 'base', 'corpus'));
ALTER TABLE nngpt_run ADD COLUMN ended TEXT DEFAULT '' NOT NULL;
ALTER TABLE nngpt_cycle ADD COLUMN alarm TEXT DEFAULT '' NOT NULL;

-- SQLite cannot change a primary key: create nngpt_admission again, with the arm in it.
ALTER TABLE nngpt_admission RENAME TO nngpt_admission_before;
CREATE TABLE nngpt_admission (
    run_id INTEGER NOT NULL,
    arm TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    attempt_id INTEGER NOT NULL,
    PRIMARY KEY (run_id, arm, content_hash),
    FOREIGN KEY(attempt_id) REFERENCES nngpt_attempt (id),
    FOREIGN KEY(run_id) REFERENCES nngpt_run (id),
    CONSTRAINT uq_nngpt_admission_attempt_id UNIQUE (attempt_id)
);
INSERT INTO nngpt_admission (run_id, arm, content_hash, attempt_id)
    SELECT run_id, 'loop', content_hash, attempt_id FROM nngpt_admission_before;
DROP TABLE nngpt_admission_before;

CREATE TABLE nngpt_activity (
    run_id INTEGER NOT NULL,
    cycle INTEGER NOT NULL,
    activity TEXT NOT NULL,
    seconds DOUBLE NOT NULL,
    joules DOUBLE,
    PRIMARY KEY (run_id, cycle, activity),
    FOREIGN KEY(run_id) REFERENCES nngpt_run (id)
);

CREATE TABLE nngpt_forecast (
    id INTEGER NOT NULL,
    run_id INTEGER NOT NULL,
    created TEXT NOT NULL,
    cycles INTEGER NOT NULL,
    seconds DOUBLE NOT NULL,
    low DOUBLE NOT NULL,
    high DOUBLE NOT NULL,
    spent DOUBLE NOT NULL,
    basis TEXT NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(run_id) REFERENCES nngpt_run (id)
);
CREATE INDEX ix_nngpt_forecast_run_id ON nngpt_forecast (run_id);

CREATE TABLE nngpt_confirmation (
    id INTEGER NOT NULL,
    run_id INTEGER NOT NULL,
    attempt_id INTEGER NOT NULL,
    protocol TEXT NOT NULL,
    seed INTEGER NOT NULL,
    accuracy DOUBLE,
    total INTEGER NOT NULL,
    epochs TEXT NOT NULL,
    seconds DOUBLE NOT NULL,
    reason TEXT NOT NULL,
    created TEXT NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(run_id) REFERENCES nngpt_run (id),
    FOREIGN KEY(attempt_id) REFERENCES nngpt_attempt (id),
    CONSTRAINT uq_nngpt_confirmation_attempt_id_protocol UNIQUE (attempt_id, protocol)
);
CREATE INDEX ix_nngpt_confirmation_run_id ON nngpt_confirmation (run_id);
