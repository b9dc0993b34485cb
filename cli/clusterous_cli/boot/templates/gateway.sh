steps() {
    phase booting
    phase ready
}
