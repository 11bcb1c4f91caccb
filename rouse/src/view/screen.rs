//! The terminal, taken and given back.
//!
//! However the program ends (a key, an error, a signal that its task obeys, a panic), the terminal is as it was: leaving
//! is in `drop`, and in the panic hook, which must come before the panic's message.

use std::io::{self, IsTerminal as _, Stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use tokio::sync::mpsc;

use super::{Model, draw};

/// What somebody pressed, as far as it means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// More of the selected row.
    Open,
    /// Back to where one was before.
    Back,
    /// Away from here.
    Quit,
    /// The screen has another size.
    Resized,
}

/// How long the keys' thread outlives its screen at most.
const NOTICE: Duration = Duration::from_millis(100);

/// Is a screen entered and not left yet? There is one terminal, whoever asks.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// The terminal while it is ours.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    keys: mpsc::UnboundedReceiver<Key>,
    over: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Screen {
    /// Is standard output a terminal that can be drawn on?
    pub(crate) fn is_possible(term: Option<&str>) -> bool {
        io::stdout().is_terminal() && term.is_some_and(|term| !matches!(term, "" | "dumb"))
    }

    /// May colours be used on standard output? Not with `NO_COLOR`.
    pub(crate) fn has_colour() -> bool {
        anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
    }

    /// Takes the terminal.
    ///
    /// # Errors
    /// If it does not obey.
    pub(crate) fn enter() -> io::Result<Self> {
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            before(panic);
        }));
        enable_raw_mode()?;
        ENTERED.store(true, Ordering::SeqCst);
        let (over, (tell, keys)) = (Arc::new(AtomicBool::new(false)), mpsc::unbounded_channel());
        // From here on `drop` gives it back, also if one of the next steps fails.
        let mut screen = Self { terminal, keys, over, reader: None };
        // The other screen is blank. To clear it would be to ask where the cursor is, and not every terminal answers.
        execute!(io::stdout(), EnterAlternateScreen)?;
        let over = Arc::clone(&screen.over);
        screen.reader = Some(std::thread::Builder::new().name("keys".to_owned()).spawn(move || read(&over, &tell))?);
        Ok(screen)
    }

    /// Lines there are.
    pub(crate) fn height(&self) -> u16 {
        self.terminal.size().map_or(24, |size| size.height)
    }

    /// Shows a model. A slow terminal takes its time, in which others of this runtime go on if it has several threads.
    ///
    /// # Errors
    /// If nothing can be written.
    pub(crate) fn draw(&mut self, model: &Model) -> io::Result<()> {
        use tokio::runtime::{Handle, RuntimeFlavor};
        let mut show = || self.terminal.draw(|frame| draw(frame, model)).map(|_| ());
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(show),
            _ => show(),
        }
    }

    /// The next key. May be dropped at any time: no key is lost.
    pub(crate) async fn key(&mut self) -> Key {
        // The thread ends before this only if the terminal is gone.
        self.keys.recv().await.unwrap_or(Key::Quit)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        leave();
        if let Some(reader) = self.reader.take() {
            // It has nothing to say, and if it panicked the hook has said so.
            let _ = reader.join();
        }
    }
}

/// Gives the terminal back, once.
fn leave() {
    if ENTERED.swap(false, Ordering::SeqCst) {
        // If it does not obey there is nobody left to tell.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

fn read(over: &AtomicBool, tell: &mpsc::UnboundedSender<Key>) {
    while !over.load(Ordering::SeqCst) {
        let event = match event::poll(NOTICE) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let key = match event {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => meant(key),
            Ok(Event::Resize(..)) => Some(Key::Resized),
            Ok(_) => None,
            Err(_) => return,
        };
        if key.is_some_and(|key| tell.send(key).is_err()) {
            return;
        }
    }
}

fn meant(key: KeyEvent) -> Option<Key> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        // In raw mode these are bytes, not signals.
        KeyCode::Char('c' | 'd' | '\\') if control => Some(Key::Quit),
        KeyCode::Char('q') => Some(Key::Quit),
        KeyCode::Char('k') | KeyCode::Up => Some(Key::Up),
        KeyCode::Char('j') | KeyCode::Down => Some(Key::Down),
        KeyCode::Enter | KeyCode::Right => Some(Key::Open),
        KeyCode::Esc | KeyCode::Left | KeyCode::Backspace => Some(Key::Back),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_is_a_key_in_here() {
        assert_eq!(meant(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Key::Quit));
        assert_eq!(meant(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::NONE)), None);
    }

    #[test]
    fn a_dumb_terminal_is_not_drawn_on() {
        assert!(!Screen::is_possible(Some("dumb")) && !Screen::is_possible(None));
    }
}
