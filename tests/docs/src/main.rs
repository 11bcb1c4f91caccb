//! Writes the reference pages: `make docs`.

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    for page in docs::pages()? {
        let path = docs::root().join("docs").join(page.name);
        std::fs::write(&path, page.text).with_context(|| format!("writing {}", path.display()))?;
        println!("docs/{}", page.name);
    }
    Ok(())
}
