//! Writes the types of the schemas, as typify makes them.

use std::error::Error;
use std::{env, fs, path::Path};

use typify::{TypeSpace, TypeSpaceSettings};

fn main() -> Result<(), Box<dyn Error>> {
    for name in ["user", "user-state"] {
        let schema = format!("../../../schemas/{name}.schema.json");
        println!("cargo::rerun-if-changed={schema}");
        let mut types = TypeSpace::new(&TypeSpaceSettings::default());
        types.add_root_schema(serde_json::from_str(&fs::read_to_string(schema)?)?)?;
        let code = prettyplease::unparse(&syn::parse2(types.to_stream())?);
        fs::write(Path::new(&env::var("OUT_DIR")?).join(format!("{name}.rs")), code)?;
    }
    Ok(())
}
