"""Reading SecLang."""
