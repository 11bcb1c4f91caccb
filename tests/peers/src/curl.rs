//! curl as a program.

use crate::programs::{foreign, output};

/// What curl had to say.
#[derive(Clone, Debug)]
pub struct Curled {
    /// Its exit code; 0 when it found nothing wrong.
    pub code: i32,
    /// Heads and bodies, as they came.
    pub out: String,
    /// With `--verbose`: what went over the line, `>` and `<`; and what it complained of.
    pub told: String,
}

/// Runs curl with `--include`, and these arguments. `None` if there is none.
pub async fn curl(arguments: &[&str]) -> Option<Curled> {
    let mut command = foreign("curl", "the tests with curl")?;
    command.args(["--silent", "--show-error", "--include", "--max-time", "50", "--noproxy", "*"]).args(arguments);
    let ended = output(command).await;
    Some(Curled {
        code: ended.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&ended.stdout).into_owned(),
        told: String::from_utf8_lossy(&ended.stderr).into_owned(),
    })
}

impl Curled {
    /// The statuses of all heads that came, in order.
    pub fn statuses(&self) -> Vec<&str> {
        let heads = self.out.lines().filter(|line| line.starts_with("HTTP/"));
        heads.filter_map(|line| line.split(' ').nth(1)).map(str::trim_end).collect()
    }

    /// The values of a header, in all heads and trailers.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let fields = self.out.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim_end()).collect()
    }
}
