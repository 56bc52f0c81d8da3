"""`python -m study.reference` writes everything that is generated from the config classes."""

from study.reference import json_schema, keys

if __name__ == "__main__":
    json_schema.PATH.write_text(json_schema.schema_text(), encoding="utf-8")
    keys.main()
