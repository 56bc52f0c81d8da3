"""`python -m study.reference` writes everything that is generated from the config classes."""

from study.reference.generated import generated_files

if __name__ == "__main__":
    for path, text in generated_files().items():
        path.write_text(text, encoding="utf-8")
