package conf

// check looks for contradictions between keys.
func check(r *reader, c *Config) {}
