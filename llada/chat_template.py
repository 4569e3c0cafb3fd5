"""The chat format of LLaDA as a Jinja template: what others read in tokenizer_config.json.

It says what `llada.chat.render` builds from ids, and a test holds the two together. Unlike the
ids, a template cannot tell a special token from a user who spells it: this code never uses it.
"""

from llada.vocab import BOS, END_HEADER, EOT, START_HEADER

CHAT_TEMPLATE = (
    f"{{{{ '{BOS}' }}}}"
    "{% for message in messages %}"
    f"{{{{ '{START_HEADER}' + message['role'] + '{END_HEADER}\\n\\n' }}}}"
    f"{{{{ message['content'] | trim + '{EOT}' }}}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    f"{{{{ '{START_HEADER}assistant{END_HEADER}\\n\\n' }}}}"
    "{% endif %}"
)
