ALTER TABLE nngpt_run ADD COLUMN class_names TEXT;
ALTER TABLE nngpt_run ADD COLUMN images_digest TEXT;
