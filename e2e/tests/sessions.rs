//! Interactive commands and a followed log: `run -it`, `ps:exec`, `logs -f`, on one machine and on a cluster.

use e2e::Platform;

#[test]
fn sessions_have_a_terminal_and_the_log_is_watched() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = admin.app_from_example("blog", "static");
    admin.push(&folder).ok();
    admin.deis_in(&folder, &["config:set", "COLOR=teal"]).ok();
    let mut log = admin.deis_on_terminal(&folder, &["logs", "-f", "-n", "50"]);
    log.sees("admin added COLOR");

    // In a separate container.
    let mut shell = admin.deis_on_terminal(&folder, &["run", "-it", "--", "bash", "--norc"]);
    shell.sees("bash-");
    shell.types("echo $((20 + 3)) $COLOR; stty size; tty\r");
    shell.sees("23 teal");
    shell.sees("24 80");
    shell.sees("/dev/pts/");
    shell.types("sleep 600\r");
    shell.sees("sleep 600");
    shell.types("\u{3}");
    shell.sees("^C");
    shell.types("exit 7\r");
    let (code, shown) = shell.ends();
    assert_eq!(code, Some(7), "{shown}");
    log.sees("runs 'bash' in a terminal");
    log.sees("ended with exit code 7");

    let piped = admin.deis_with_input(&folder, &["run", "-i", "--", "wc", "-l"], "one\ntwo\n").ok();
    assert_eq!(piped.stdout.trim(), "2", "{}", piped.all());

    // Inside a running pod.
    let listed = admin.deis_in(&folder, &["ps"]).ok().stdout;
    let pod = listed.lines().find(|line| line.contains(" up (")).expect("one runs");
    let pod = pod.split(' ').next().expect("a name");
    let mut inside = admin.deis_on_terminal(&folder, &["ps:exec", "-it", pod, "--", "bash", "--norc"]);
    inside.sees("bash-");
    inside.types("echo inside $DEIS_APP $COLOR $HOME\r");
    inside.sees("inside blog teal /app");
    inside.types("exit 3\r");
    let (code, shown) = inside.ends();
    assert_eq!(code, Some(3), "{shown}");
    let plain = admin.deis_in(&folder, &["ps:exec", pod, "--", "echo one line; exit 4"]);
    assert_eq!((plain.code, plain.stdout.as_str()), (Some(4), "one line\n"), "{}", plain.all());
    let words = admin.deis_in(&folder, &["ps:exec", pod, "--", "echo", "two  words; exit 4"]).ok();
    assert_eq!(words.stdout, "two  words; exit 4\n", "{}", words.all());
    admin
        .deis_in(&folder, &["ps:exec", "blog-web-nothing", "ls"])
        .fails(1, "No Pod matches the given query.");

    // A window that is closed ends its command.
    let mut shell = admin.deis_on_terminal(&folder, &["run", "-it", "--", "bash", "--norc"]);
    shell.sees("bash-");
    drop(shell);
    log.sees("hung up");

    admin.deis_in(&folder, &["destroy", "--confirm=blog"]).ok();
    assert_eq!(platform.left_of("blog"), Vec::<String>::new());
}
