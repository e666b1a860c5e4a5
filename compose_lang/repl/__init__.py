"""The interactive session: `session` holds the program, `commands` the `:` words, `prompt` the terminal."""
