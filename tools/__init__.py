"""What the book needs to be made, checked and published. The package never imports it."""
