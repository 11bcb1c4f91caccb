//! Writes the files that are made from the code: `make docs`, `make crds`.

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<()> {
    let made = match std::env::args().nth(1).as_deref() {
        None | Some("pages") => docs::pages()?,
        Some("crds") => docs::crds()?,
        Some(other) => bail!("{other}: pages or crds"),
    };
    for file in made {
        let path = docs::root().join(file.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        std::fs::write(&path, file.text).with_context(|| format!("writing {}", path.display()))?;
        println!("{}", file.path);
    }
    Ok(())
}
