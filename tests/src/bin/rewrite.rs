//! Writes a copy of the tree in which actions and workflows have the form that a release or `act` needs.

use std::path::{Path, PathBuf};

use clap::Parser;
use shipkit_tests::rewrite::{Form, Reader};

/// Write a copy of this checkout with `uses: $/...` and the image replaced.
#[derive(Parser)]
struct Args {
    /// What replaces `$`: a full commit for a release, a word for a test.
    #[arg(long = "ref", value_name = "REF")]
    reference: String,
    /// The image to run, in place of the one that the sources name.
    #[arg(long)]
    image: Option<String>,
    /// Leave out what `act` refuses.
    #[arg(long)]
    act: bool,
    /// A new or empty folder.
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let reader = if args.act { Reader::Act } else { Reader::GitHub };
    let form = Form { reference: args.reference, image: args.image, reader };
    Ok(form.copy(Path::new("."), &args.out)?)
}
