resource "aws_iam_role" "ssh_grunt" {
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = "sts:AssumeRole"
        Principal = {
          AWS = [
            "arn:aws:iam::123456789012:root",
            "arn:aws:iam::210987654321:root",
          ]
        }
      },
    ]
  })
}

resource "aws_iam_role_policy" "ssh_grunt_permissions" {
  name = "permissions"
  role = aws_iam_role.ssh_grunt.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = [
          "iam:GetGroup",
          "iam:ListSSHPublicKeys",
          "iam:GetSSHPublicKey",
        ]
        Resource = "*"
      },
    ]
  })
}
