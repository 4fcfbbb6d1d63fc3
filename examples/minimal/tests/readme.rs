//! The first code that anybody reads is code that runs.

#[test]
fn the_readme_shows_this_example_as_it_is() {
    let readme = include_str!("../../../README.md");
    let example = include_str!("../src/main.rs");
    assert!(readme.contains(example), "README.md has another `examples/minimal/src/main.rs`; copy the file into it");
}
