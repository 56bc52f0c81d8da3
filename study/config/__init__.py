"""What a study is: frozen pydantic values and the keys of the study file. No file is read here."""
