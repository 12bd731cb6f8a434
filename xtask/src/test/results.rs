//! Results in the output of libtest's programs.

/// Numbers of tests by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub ignored: u64,
}

/// Results of test programs, for the report at the end.
#[derive(Debug, Default)]
pub struct Results {
    pub counts: Counts,
    /// Tests that failed and passed when they ran again alone, with their first output.
    pub flaky: Vec<Failures>,
    pub failed: Vec<Failures>,
}

/// Failed tests of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    pub program: String,
    pub tests: Vec<String>,
    /// Their output, from its beginning.
    pub output: String,
}

impl Counts {
    /// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn of_line(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
        let mut numbers = counts.split("; ").map(|part| part.split(' ').next()?.parse().ok());
        Some(Self { passed: numbers.next()??, failed: numbers.next()??, ignored: numbers.next()?? })
    }

    /// Adds up the closing lines of an output.
    pub fn of_output(output: &str) -> Self {
        let mut all = Self::default();
        output.lines().filter_map(Self::of_line).for_each(|counts| all.add(counts));
        all
    }

    pub fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.ignored += more.ignored;
    }
}

impl Results {
    pub fn add(&mut self, more: Self) {
        self.counts.add(more.counts);
        self.flaky.extend(more.flaky);
        self.failed.extend(more.failed);
    }
}

impl Failures {
    /// Longest output that is repeated, in lines.
    const LINES_MAX: usize = 200;

    /// Reads the section `failures:` of a program's output; empty where the program ended without one.
    pub fn of_output(program: &str, output: &str) -> Self {
        let section = output.split_once("\nfailures:\n").map_or("", |(_, rest)| rest);
        let section = section.split_once("\nfailures:\n").map_or(section, |(texts, _)| texts);
        let names = output.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        let lines: Vec<_> =
            section.lines().filter(|line| !is_backtrace(line)).take(Self::LINES_MAX).collect();
        Self {
            program: program.to_owned(),
            tests: names.map(str::to_owned).collect(),
            output: lines.join("\n").trim().to_owned(),
        }
    }

    pub fn print(&self) {
        println!("{}: {}\n{}\n", self.program, self.tests.join(", "), self.output);
    }
}

/// A frame of a backtrace, `  12: name` or `at file`: the place of the failure is in the test's first line.
fn is_backtrace(line: &str) -> bool {
    let line = line.trim_start();
    let frame = line.split_once(": ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    frame || line.starts_with("at ") || line.starts_with("note: Some details") || line == "stack backtrace:"
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 3 tests
test one ... ok
test two::it ... FAILED
test three ... FAILED

failures:

---- two::it stdout ----

thread 'two::it' panicked at src/it.rs:3:5:
no request is lost
stack backtrace:
   0: core::panicking::panic_fmt
             at /rustc/library/core/src/panicking.rs:80:14
---- three stdout ----
Error: \"it is full\"

failures:
    three
    two::it

test result: FAILED. 1 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn closing_lines_of_test_programs_are_counted() {
        let expected = Counts { passed: 1, failed: 2, ignored: 1 };

        assert_eq!(Counts::of_output(OUTPUT), expected);
        assert_eq!(Counts::of_output("running 3 tests"), Counts::default());
    }

    #[test]
    fn failed_tests_are_told_with_what_they_said_and_without_backtraces() {
        let failures = Failures::of_output("src/it.rs", OUTPUT);

        assert_eq!(failures.tests, ["two::it", "three"]);
        let expected = "---- two::it stdout ----\n\nthread 'two::it' panicked at src/it.rs:3:5:\nno request is lost\n\
             ---- three stdout ----\nError: \"it is full\"";
        assert_eq!(failures.output, expected);
    }

    #[test]
    fn a_program_that_dies_tells_no_failed_test() {
        let failures = Failures::of_output("src/it.rs", "running 1 test\n");

        assert_eq!((failures.tests.len(), failures.output.as_str()), (0, ""));
    }
}
