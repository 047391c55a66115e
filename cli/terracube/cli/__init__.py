"""The `terracube` command: thin, one module per noun; every command only calls the library."""
