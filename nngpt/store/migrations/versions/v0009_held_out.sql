ALTER TABLE nngpt_adapter ADD COLUMN held_out INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE nngpt_adapter ADD COLUMN held_out_first DOUBLE;
ALTER TABLE nngpt_adapter ADD COLUMN held_out_last DOUBLE;
