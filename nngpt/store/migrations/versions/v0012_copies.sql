-- SQLite cannot change a primary key: create nngpt_admission again, with the number of the copy in it.
ALTER TABLE nngpt_admission RENAME TO nngpt_admission_before;
CREATE TABLE nngpt_admission (
    run_id INTEGER NOT NULL,
    arm TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    copy INTEGER NOT NULL,
    attempt_id INTEGER NOT NULL,
    PRIMARY KEY (run_id, arm, content_hash, copy),
    FOREIGN KEY(attempt_id) REFERENCES nngpt_attempt (id),
    FOREIGN KEY(run_id) REFERENCES nngpt_run (id),
    CONSTRAINT uq_nngpt_admission_attempt_id UNIQUE (attempt_id)
);
INSERT INTO nngpt_admission (run_id, arm, content_hash, copy, attempt_id)
    SELECT run_id, arm, content_hash, 0, attempt_id FROM nngpt_admission_before;
DROP TABLE nngpt_admission_before;
