"""What the tokenizer of an encoder is: a value, and what files say of it."""
