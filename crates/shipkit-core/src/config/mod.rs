//! `shipkit.yml`: types, defaults, resolution and errors that say where.
