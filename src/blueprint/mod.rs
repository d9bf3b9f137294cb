//! A blueprint as its author wrote it: manifest, task files, variables, templates.
