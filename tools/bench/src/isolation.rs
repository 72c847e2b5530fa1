//! A network of the benchmark's own, in which Apple's host name leads to the mock.
//!
//! Some senders only send to `api.push.apple.com:443`. apns-mock can listen there in a network namespace that
//! has only loopback, and a mount namespace with its own hosts file (namespaces(7)). No packet can leave the
//! machine.

use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;
use tokio::sync::oneshot;

use crate::sender::LeftOut;

/// The hosts file inside.
const HOSTS: &str = "127.0.0.1 localhost\n127.0.0.1 api.push.apple.com\n";

/// The first argument is the hosts file, and the others are the command.
///
/// Loopback is initially down. Where `ip` is missing, Perl, which Debian always has, sets the flags with
/// SIOCSIFFLAGS (netdevice(7)).
const ENTER: &str = r#"
ip link set lo up 2>/dev/null ||
    perl -e 'socket(my $s, 2, 2, 0) && ioctl($s, 0x8914, pack("a16 s x14", "lo", 0x49)) || die "no loopback: $!"' || exit
mount --bind "$1" /etc/hosts || exit
shift
exec "$@"
"#;

/// The ways to enter the namespaces: as root, and as a user who may be root in a user namespace.
const WAYS: [&[&str]; 2] = [
    &["--net", "--mount"],
    &["--user", "--map-root-user", "--net", "--mount"],
];

/// A way that works on this machine.
#[derive(Debug)]
pub(crate) struct Isolation {
    flags: &'static [&'static str],
    hosts: NamedTempFile,
}

/// Tries the ways. The error says why none works.
pub(crate) fn available() -> Result<Isolation> {
    let mut hosts = NamedTempFile::new()?;
    hosts.write_all(HOSTS.as_bytes())?;
    let mut isolation = Isolation { flags: &[], hosts };
    let mut said = String::new();
    for flags in WAYS {
        isolation.flags = flags;
        let output = isolation
            .command()
            .arg("true")
            .stdin(Stdio::null())
            .output()
            .context("there is no `unshare`")?;
        if output.status.success() {
            return Ok(isolation);
        }
        said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    }
    bail!("{said}");
}

impl Isolation {
    /// Runs this program again with the same arguments in its own network.
    pub(crate) fn run_again(&self, left_out: &[LeftOut]) -> Result<ExitCode> {
        let mut command = self.command();
        command
            .arg(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .arg("--isolated");
        for left_out in left_out {
            command.arg("--left-out").arg(left_out.to_string());
        }
        // Closing its standard input tells it that this process has ended: see `end_of_parent`.
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        let parent = child.stdin.take();
        let status = child.wait()?;
        drop(parent);
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }

    fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        let sh: [OsString; 4] = ["sh".into(), "-c".into(), ENTER.into(), "sh".into()];
        command.args(self.flags).args(sh).arg(self.hosts.path());
        command
    }
}

/// Waits until the process that started this one has ended, which closes this one's standard input.
pub(crate) async fn end_of_parent() {
    let (ended, end) = oneshot::channel();
    thread::spawn(|| {
        // An end and an error both mean that the other process has closed its side.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        // If this process is ending already, nobody waits for this.
        let _ = ended.send(());
    });
    let _ = end.await;
}

#[cfg(test)]
mod tests {
    use super::available;

    #[test]
    fn inside_apples_host_is_this_machine_and_nothing_else_can_be_reached() {
        let Ok(isolation) = available() else {
            // This machine does not allow it; then the benchmark leaves senders out.
            return;
        };
        let output = isolation
            .command()
            .args(["sh", "-c", "getent hosts api.push.apple.com; cat /proc/net/route"])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("127.0.0.1"), "{said}");
        let routes = said.lines().skip_while(|line| !line.starts_with("Iface")).count();
        assert_eq!(routes, 1, "only the heading is left: {said}");
    }
}
