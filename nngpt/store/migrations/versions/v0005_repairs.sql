ALTER TABLE nngpt_attempt ADD COLUMN repairs INTEGER DEFAULT '0' NOT NULL;
ALTER TABLE nngpt_attempt ADD COLUMN repaired_from INTEGER REFERENCES nngpt_attempt(id);
CREATE UNIQUE INDEX ix_nngpt_attempt_repaired_from ON nngpt_attempt (repaired_from);
