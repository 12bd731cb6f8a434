<?php // Makes this a PHP app; what is served is in public/.
