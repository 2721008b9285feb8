//! Writes the types of each schema, as typify makes them.

use std::{env, fs, path::Path};

use typify::{TypeSpace, TypeSpaceSettings};

fn main() {
    let schemas = env::var("SCHEMAS").expect("SCHEMAS, the directory with the schemas");
    println!("cargo::rerun-if-env-changed=SCHEMAS\ncargo::rerun-if-changed={schemas}");
    for file in fs::read_dir(schemas).expect("a directory") {
        let path = file.expect("a file").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").replace(".schema.json", ".rs");
        let text = fs::read_to_string(&path).expect("a schema");
        let mut space = TypeSpace::new(&TypeSpaceSettings::default());
        space.add_root_schema(serde_json::from_str(&text).expect("a schema")).expect("types");
        let file = syn::parse2(space.to_stream()).expect("Rust");
        let output = Path::new(&env::var("OUT_DIR").expect("OUT_DIR")).join(name);
        fs::write(output, prettyplease::unparse(&file)).expect("written");
    }
}
