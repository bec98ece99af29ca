ALTER TABLE nngpt_attempt ADD COLUMN claimed_proxies TEXT;
