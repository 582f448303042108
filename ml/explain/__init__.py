"""One user through the system: what was known, said, proposed and scored, and by which versions."""
