//! Versions that Ruby and Rust apps ask for.

use crate::Source;

#[test]
fn a_ruby_is_asked_for_by_lock_file_or_version_file() {
    let lock =
        "GEM\n  specs:\n    ruby (9.9.9)\n\nRUBY VERSION\n   ruby 3.3.5p100\n\nBUNDLED WITH\n   2.6.7\n";
    let without = "GEM\n  specs:\n\nBUNDLED WITH\n   2.6.7\n";
    for (files, asked) in [
        (&[("Gemfile.lock", lock), (".ruby-version", "3.2.1\n")][..], "3.3.5 Gemfile.lock"),
        (&[("Gemfile.lock", without), (".ruby-version", "ruby-3.2.1\r\n")], "3.2.1 .ruby-version"),
        (&[("Gemfile.lock", without), (".tool-versions", "ruby 3.4.2\n")], "3.4.2 .tool-versions"),
        (&[("Gemfile.lock", without)], ""),
    ] {
        let said = Source::new(files).bash(&["lib/pack.sh", "05-ruby/lib/ruby.sh"], "asked_ruby");

        assert_eq!(said.as_deref(), Ok(asked));
    }
}

#[test]
fn a_gemfile_demands_a_ruby_in_each_usual_form() {
    for (gemfile, demanded) in [
        ("source 'x'\nruby '3.3.5'\n", "3.3.5"),
        ("ruby \"~> 3.3\", \">= 3.3.2\" # why\n", "~> 3.3, >= 3.3.2"),
        ("ruby file: \".ruby-version\"\n", "3.4.1"),
        ("gem 'ruby-progressbar'\n", ""),
    ] {
        let source = Source::new(&[("Gemfile", gemfile), (".ruby-version", "3.4.1\n")]);

        let said = source.bash(&["lib/pack.sh", "05-ruby/lib/ruby.sh"], "required_ruby");

        assert_eq!(said.as_deref(), Ok(demanded), "{gemfile}");
    }
}

#[test]
fn a_rust_is_asked_for_in_each_usual_form() {
    for (file, content, channel) in [
        ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.90.0\"\ncomponents = []\n", "1.90.0"),
        ("rust-toolchain", "nightly-2026-01-31\n", "nightly-2026-01-31"),
        ("rust-toolchain", "[toolchain]\nchannel = 'beta'\n", "beta"),
        ("RustConfig", "VERSION=1.88.0\n", "1.88.0"),
        ("Cargo.toml", "", ""),
    ] {
        let source = Source::new(&[(file, content)]);

        let said = source.bash(&["lib/pack.sh", "60-rust/lib/toolchain.sh"], "asked_channel");

        assert_eq!(said.as_deref(), Ok(channel), "{file}: {content}");
    }
}
