"""Tables of questions of one's own, as spreadsheets and programs write them, into questions."""
